-- The product's own people. Passwords: HMAC under a key of PBKDF2-SHA-256 with 100,000 rounds.
CREATE TABLE people (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  salt TEXT NOT NULL,
  password TEXT NOT NULL
);
-- Two people to try it with: ada / lovelace, grace / hopper.
INSERT INTO people (id, name, salt, password) VALUES
  ('ada', 'Ada', 'ada-7Yq2', 'km743lz4BVO0CneUeyXXmuox5Qk+3zAaRwmvLqoqoa4='),
  ('grace', 'Grace', 'grace-7Yq2', 'uhxM5EoViO0R80WxzsBnvAtcWupB0bhZHh+IocmlFjA=');
