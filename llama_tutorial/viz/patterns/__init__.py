"""einops patterns: one drawn from itself, and a whole forward pass told in them."""
