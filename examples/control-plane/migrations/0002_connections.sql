-- What a hand-written control plane keeps: remote servers, and tokens sealed to their person and server.
-- full/ needs neither table.
CREATE TABLE servers (
  name TEXT PRIMARY KEY,
  title TEXT NOT NULL,
  url TEXT NOT NULL
);
CREATE TABLE connections (
  person TEXT NOT NULL,
  server TEXT NOT NULL,
  sealed TEXT NOT NULL,
  connected_at INTEGER NOT NULL,
  PRIMARY KEY (person, server)
);
