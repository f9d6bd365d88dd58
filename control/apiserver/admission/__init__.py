"""What is changed and refused between authorization and storage, one small plugin each."""
