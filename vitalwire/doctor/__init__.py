"""`vitalwire doctor`: what is wrong with the hospital side, or will be soon, and how it is mended."""
