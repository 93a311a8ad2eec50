"""The front end: speaks REST and gRPC to clients and routes to workers."""
