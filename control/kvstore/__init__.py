"""The ordered MVCC key-value store: interface, engines (sqlite, etcd, memory), service and client."""
