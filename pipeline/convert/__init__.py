"""A trained PyTorch CNN becomes a spiking Network, layer by layer, or is refused by name. The only door to torch but train/."""
