"""The chart on a real cluster: ``make test-cluster KUBECONFIG=… IMAGE_LOAD='command that loads an image tar'``.

One function of ``scenarios`` per claim, run in order; a table and one JSON object at the end. The servers of the
cluster profile are real ones: those that ``HEADWATER_TEST_…`` name at addresses that pods reach, or native ones of
this machine (``tests.servers``), which pods reach at ``HOST`` (by default the address of this machine's default route).
"""
