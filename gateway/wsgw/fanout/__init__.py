"""From a publication to a client's link: encoded once, kept while a socket is full, handed out in batches."""
