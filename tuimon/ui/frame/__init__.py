"""What every screen has: the base screen, header, banner and footer."""
