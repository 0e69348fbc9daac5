"""What `animacy bench engine` measures: the engine itself, its kernels, and diffusers' modules beside it."""
