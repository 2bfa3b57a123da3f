"""What the admins of all contexts share."""
