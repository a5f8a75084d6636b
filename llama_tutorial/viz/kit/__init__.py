"""What every figure is made with: canvas, palette, cells and the hues of tokens, dials, cards, folds."""
