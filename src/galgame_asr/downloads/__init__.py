"""Files from hubs and web servers, whole and as they were pinned."""
