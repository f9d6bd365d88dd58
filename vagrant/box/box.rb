# What every machine of this box needs; lies in the box as its Vagrantfile.
Vagrant.configure("2") do |config|
  config.vm.synced_folder ".", "/vagrant", disabled: true
  config.vm.provider(:libvirt) { |libvirt| libvirt.disk_bus = "virtio" }
end
