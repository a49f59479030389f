"""What pseudonyms stand for: opened for those who may, and sealed anew."""
