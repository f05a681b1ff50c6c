"""Product usage exports: files in a folder, read into lake parts. `files.py` is the door: `discover`, `ingest`, `file_id`."""
