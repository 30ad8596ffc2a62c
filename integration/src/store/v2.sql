-- The customer of an address, so that an address that is known needs no vendor to find it.
CREATE INDEX deals_by_email ON deals(email) WHERE customer_id IS NOT NULL;
