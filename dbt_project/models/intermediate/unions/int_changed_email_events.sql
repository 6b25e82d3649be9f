{{ changed_keys('email_events', carry=['subscriber_id', 'recipient_email_hash']) }}
