"""Which machines there are: readers of Ansible, Vagrant and lab inventories.

`inventory.sources.load` turns files, directories and programs into one `inventory.model.Inventory`;
`inventory.patterns.match` picks hosts from it.

Invariant: pure reading; nothing here connects to a host or imports another part of Wherry.
"""
