"""What people have to look at: documents on hold."""
