"""What readers think of answers: taken, stored with the answer, reported and exported to reviewers."""
