"""What systems are about: one folder a domain, with its loaders, views, encoders, options and evaluation."""
