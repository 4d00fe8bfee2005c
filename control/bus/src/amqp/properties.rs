//! Message properties to AMQP and back (LIC-730).

use lapin::BasicProperties;
use spk_entitlement::messages::Properties;

/// As AMQP carries them.
pub fn to_amqp(properties: &Properties) -> BasicProperties {
    let mut amqp = BasicProperties::default()
        .with_content_type(properties.content_type.as_str().into())
        .with_content_encoding(properties.content_encoding.as_str().into())
        .with_type(properties.kind.as_str().into())
        .with_message_id(properties.message_id.as_str().into())
        .with_timestamp(properties.timestamp)
        .with_app_id(properties.app_id.as_str().into())
        .with_user_id(properties.user_id.as_str().into())
        .with_delivery_mode(properties.delivery_mode);
    if let Some(id) = &properties.correlation_id {
        amqp = amqp.with_correlation_id(id.as_str().into());
    }
    if let Some(expiration) = &properties.expiration {
        amqp = amqp.with_expiration(expiration.as_str().into());
    }
    amqp
}

/// What came. A property that is missing is empty, and refused later where it is needed.
pub fn from_amqp(amqp: &BasicProperties) -> Properties {
    fn text<T: ToString>(value: &Option<T>) -> String {
        value.as_ref().map(ToString::to_string).unwrap_or_default()
    }
    Properties {
        content_type: text(amqp.content_type()),
        content_encoding: text(amqp.content_encoding()),
        kind: text(amqp.kind()),
        message_id: text(amqp.message_id()),
        timestamp: amqp.timestamp().unwrap_or_default(),
        app_id: text(amqp.app_id()),
        user_id: text(amqp.user_id()),
        delivery_mode: amqp.delivery_mode().unwrap_or_default(),
        correlation_id: amqp.correlation_id().as_ref().map(ToString::to_string),
        expiration: amqp.expiration().as_ref().map(ToString::to_string),
    }
}

#[cfg(test)]
mod tests {
    use spk_entitlement::messages::{Body, Message};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn properties_come_back_as_they_went() {
        let message = Message {
            id: Uuid::from_u128(1),
            reply_to: Some(Uuid::from_u128(2)),
            namespace: String::from("demo"),
            body: Body::Goodbye,
        };
        let mut properties = message.seal(1_800_000_000).properties;
        properties.expiration = Some(String::from("60000"));
        assert!(properties.correlation_id.is_some());
        assert_eq!(from_amqp(&to_amqp(&properties)), properties);
    }
}
