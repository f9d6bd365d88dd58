"""Lab hosts on one machine: real systemd, real sshd, and a network of their own."""
