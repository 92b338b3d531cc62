"""Reports for people to look at: one HTML file each, without scripts and complete in itself."""
