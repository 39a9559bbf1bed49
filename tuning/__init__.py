"""What learns: sources, curation, training, the gate, versions and jobs. Knows config, store and serving."""
