"""Every kernel again, in the slowest and most obvious way that could be right. Tests hold the fast ones against these.

One section a module; nothing here is imported by the package.
"""
