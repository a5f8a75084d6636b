"""What the world publishes, read and written with care: files of strangers, their fields and names, the hub, words.

Nothing here knows the model: it imports nothing else of this package, so that it serves any package of Llama's parts.
What these files *mean* is lesson 14, notebooks/14_real_weights.ipynb.
"""
