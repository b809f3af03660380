"""How latents are moved: a `Problem` says what is wanted, the actor and the optimiser solve it."""
