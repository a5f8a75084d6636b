"""What every figure is made with: canvas, palette, words, cells, dials, cards, folds."""
