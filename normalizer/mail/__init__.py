"""RFC 5322 bytes to a Message or a DeliveryReport."""
