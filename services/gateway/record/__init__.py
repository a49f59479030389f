"""What an answer was made of, and making it again."""
