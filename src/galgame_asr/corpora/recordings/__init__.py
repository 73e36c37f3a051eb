"""Audio and video files with subtitles beside them."""
