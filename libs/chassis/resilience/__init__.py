"""What keeps a service useful while others fail: breaker, retry budget, admission control."""
