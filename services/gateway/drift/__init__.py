"""Whether questions and answers are still what they were."""
