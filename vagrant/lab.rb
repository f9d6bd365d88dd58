# What the Vagrantfile decides, and what happens once the last machine is up.
#
# Invariant: provisioning starts only when every machine of the lab is up, and once a command.

require "fileutils"
require "set"
require "yaml"

module Lab
  HERE = __dir__ unless const_defined?(:HERE)
  LOCK = Mutex.new unless const_defined?(:LOCK)
  UNDER_WAY = Set.new unless const_defined?(:UNDER_WAY)
  DONE = Set.new unless const_defined?(:DONE)

  module_function

  # Each machine's name and its address in the cluster's network.
  def machines
    workers = Integer(ENV.fetch("WHERRY_WORKERS", "2"))
    [["control", "192.168.56.10"], *(1..workers).map { |number| ["node#{number}", "192.168.56.#{10 + number}"] }].to_h
  end

  def memory = Integer(ENV.fetch("WHERRY_MEMORY", "1024"))
  def cpus = Integer(ENV.fetch("WHERRY_CPUS", "2"))
  def driver = ENV.fetch("WHERRY_DRIVER") { File.writable?("/dev/kvm") ? "kvm" : "qemu" }

  def box
    home = ENV.fetch("VAGRANT_HOME") { File.join(Dir.home, ".vagrant.d") }
    built = File.directory?(File.join(home, "boxes", "wherry-VAGRANTSLASH-debian"))
    ENV.fetch("WHERRY_BOX", built ? "wherry/debian" : "debian/bookworm64")
  end

  def provider
    installed = %w[VBoxManage VBoxManage.exe].any? { |name| Vagrant::Util::Which.which(name) }
    installed ? "virtualbox" : "libvirt"
  end

  def data = File.expand_path(ENV.fetch("VAGRANT_DOTFILE_PATH", ".vagrant"), HERE)

  # The machines' groups and addresses, beside what Vagrant itself keeps of them; `wherry` reads it with the Vagrantfile.
  def write_inventory
    hosts = machines.to_h { |name, address| [name, { "node_address" => address, "api_address" => address }] }
    control, workers = hosts.partition { |name, _| name == "control" }.map(&:to_h)
    groups = { "control" => { "hosts" => control }, "workers" => { "hosts" => workers } }
    text = { "all" => { "children" => groups } }.to_yaml
    path = File.join(data, "wherry", "groups.yml")
    return if File.exist?(path) && File.read(path) == text

    FileUtils.mkdir_p(File.dirname(path))
    File.write(path, text)
  end

  def starting(machine)
    LOCK.synchronize { UNDER_WAY << machine.name }
  end

  def reached(environment, machine)
    unlock(environment, machine)
    LOCK.synchronize do
      UNDER_WAY.delete(machine.name)
      # `wherry lab up --driver vagrant` provisions by itself.
      next if ENV["WHERRY_LAB"] || !DONE.empty? || !UNDER_WAY.empty? || !all_up?(environment)

      DONE << machine.name
      provision
    end
  end

  # Vagrant kills the thread that watched the machine's start. If that was just noting the state in Vagrant's index, the
  # entry stays locked for as long as this process lives, and no `vagrant` that provisioning runs could read it.
  def unlock(environment, machine)
    environment.machine_index.release(Vagrant::MachineIndex::Entry.new(machine.index_uuid, {}))
  end

  # With the last machine goes what was kept of the lab: its keys open nothing any more.
  def destroyed(environment)
    return if ENV["WHERRY_LAB"] || states(environment).any? { |state| state && state != :not_created }

    FileUtils.rm_rf([File.join(HERE, "..", ".lab", "vagrant"), File.join(data, "wherry")])
  end

  def all_up?(environment) = states(environment).all?(:running)

  # The provider's word for each machine's state; nil for one that never was. Asked itself, the machine would also note it
  # in Vagrant's index.
  def states(environment)
    active = environment.active_machines.to_h
    machines.keys.map do |name|
      kind = active[name.to_sym]
      kind && environment.machine(name.to_sym, kind).provider.state.id
    end
  end

  def provision
    wherry = [File.join(HERE, "..", ".venv", "bin", "wherry"), Vagrant::Util::Which.which("wherry")]
    wherry = wherry.compact.find { |path| File.executable?(path) } unless ENV["WHERRY_INSIDE"]
    command = wherry.is_a?(String) ? [wherry, "lab", "up", *lab_words] : ["sh", File.join(HERE, "inside.sh")]
    # Vagrant's own libraries must not leak into other programs.
    Vagrant::Util::Env.with_original_env do
      system({ "WHERRY_LAB" => "1" }, *command, chdir: HERE) ||
        raise(Vagrant::Errors::VagrantError.new, "the machines are up, but the cluster on them is not: see above")
    end
  end

  def lab_words = ["--driver", "vagrant", "--name", "vagrant", "--workers", (machines.size - 1).to_s]
end
