"""The microservice chassis: mechanism that every service needs, without one word of the retrieval domain."""

import os

# gRPC takes part in every fork by default: it starts its threads again in the child, on the parent's sockets. uvloop's
# subprocesses are forks, too, so each one could lose calls of its service or end it with a segmentation fault. Nothing
# of ours goes on after a fork; gRPC reads this when it is imported, which no service does before this package.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
