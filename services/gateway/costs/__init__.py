"""What questions cost, and what they may."""
