"""Text encoders on CPU: model directories, runtimes, batching across callers, late interaction, cross-encoders.

Knows nothing of gRPC or of any service. `TokenCounter` needs only the tokenizer; everything else loads the weights.
"""
