"""gRPC: the services, on top of frontend.http2."""
