"""Which machines there are: readers of Ansible, Vagrant and lab inventories.

Invariant: pure reading; nothing here connects to a host or imports another part of Wherry.
"""
