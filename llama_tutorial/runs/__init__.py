"""A run of training that is kept in files: the text it reads, its checkpoints, its steps, and its directory.

What a step of training is stands in lesson 10, notebooks/10_training.ipynb; here is what lets a run be cut off at any
moment and go on as if nothing had been. `llama-tutorial train` is `train_directory`.
"""
