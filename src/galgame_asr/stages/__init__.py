"""One module per DVC stage, named like it: read params, call the library, write outputs."""
