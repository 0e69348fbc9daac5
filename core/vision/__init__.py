"""What a character sees: pictures of the camera and the screen, told in words."""
