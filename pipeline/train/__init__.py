"""Train the CNNs that convert/ turns into spiking networks. The only door to torch but convert/."""
