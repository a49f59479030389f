"""Real servers for the tests of the cluster profile.

Each comes from the first of: an address in the environment; a container, where an engine for them runs; a native
process from the server's published packages, which are downloaded once into a cache outside the checkout.

    python -m tests.servers run [--only kafka,redis] -- COMMAND…    start, run the command with the addresses, stop
    python -m tests.servers prepare [--only kafka,redis]            download only

The addresses, by environment variable:

    HEADWATER_TEST_KAFKA           host:port
    HEADWATER_TEST_ELASTICSEARCH   http://host:port
    HEADWATER_TEST_WEAVIATE        http host:port,grpc host:port
    HEADWATER_TEST_REDIS           redis://host:port/0
    HEADWATER_TEST_S3              http://host:port (key "headwater", secret "headwater-secret", bucket "headwater")
"""
