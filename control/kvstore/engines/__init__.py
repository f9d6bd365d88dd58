"""Where the keys live: memory, a SQLite file, or an etcd cluster, all behind `control.kvstore.store.Store`."""
