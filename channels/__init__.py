"""A channel is a translator between its wire and the types of `normalizer.message`; nothing else."""
