"""The contest: one textbook, one exam, 110 CPU-seconds. Nothing is imported before `enter` is called.

What an entry may decide is its model and how it learns; the text, its tokens and the exam are the same for all. Every
Python carries the exam's text, so whoever wants to cheat can: what is guarded against here is cheating by mistake, as
with a model that reads ahead.
"""
