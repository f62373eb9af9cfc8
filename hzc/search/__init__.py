"""Search at encode time: a latent that sounds closer to the recording, at no more bits."""
