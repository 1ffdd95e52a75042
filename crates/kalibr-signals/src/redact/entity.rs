//! The kinds of things that are taken out, and counts of them.

/// What a find is. Where two overlap, the one named first here gives the placeholder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Entity {
    /// A block with a private key (PEM, PGP), or a key of a wallet.
    PrivateKey,
    /// A JSON web token.
    Jwt,
    /// A key or token that shows by its form whose it is.
    ApiKey,
    /// User and password in a URL.
    Login,
    /// The value of a password, token or secret that is named as such.
    Secret,
    /// An e-mail address.
    Email,
    /// An international bank account number.
    Iban,
    /// A number of a payment card.
    Card,
    /// A US social security number (or ITIN).
    Ssn,
    /// A number that a state gave to a person: identity, tax, health insurance.
    NationalId,
    /// An address of Bitcoin, Ethereum and the like.
    Crypto,
    /// A hardware address.
    Mac,
    /// An IPv4 or IPv6 address that is not loopback or unspecified.
    Ip,
    /// A telephone number.
    Phone,
    /// A date that is said to be somebody's birth.
    BirthDate,
    /// A street with its number, a post box.
    Address,
    /// A name that a rule can tell.
    Name,
}

impl Entity {
    /// All of them, in their order.
    pub const ALL: [Self; 17] = [
        Self::PrivateKey,
        Self::Jwt,
        Self::ApiKey,
        Self::Login,
        Self::Secret,
        Self::Email,
        Self::Iban,
        Self::Card,
        Self::Ssn,
        Self::NationalId,
        Self::Crypto,
        Self::Mac,
        Self::Ip,
        Self::Phone,
        Self::BirthDate,
        Self::Address,
        Self::Name,
    ];

    /// Bytes of the longest placeholder.
    pub const LONGEST: usize = 13;

    /// What stands in the text instead of it.
    pub const fn placeholder(self) -> &'static str {
        match self {
            Self::PrivateKey => "[PRIVATE_KEY]",
            Self::Jwt => "[JWT]",
            Self::ApiKey => "[API_KEY]",
            Self::Login => "[LOGIN]",
            Self::Secret => "[SECRET]",
            Self::Email => "[EMAIL]",
            Self::Iban => "[IBAN]",
            Self::Card => "[CARD]",
            Self::Ssn => "[SSN]",
            Self::NationalId => "[NATIONAL_ID]",
            Self::Crypto => "[CRYPTO]",
            Self::Mac => "[MAC]",
            Self::Ip => "[IP]",
            Self::Phone => "[PHONE]",
            Self::BirthDate => "[BIRTH_DATE]",
            Self::Address => "[ADDRESS]",
            Self::Name => "[NAME]",
        }
    }

    /// Its name in counts and reports: the placeholder without brackets.
    ///
    /// ```
    /// assert_eq!(kalibr_signals::redact::Entity::ApiKey.name(), "API_KEY");
    /// ```
    pub fn name(self) -> &'static str {
        self.placeholder().trim_matches(['[', ']'])
    }
}

/// How many things of each kind were replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts([u32; Entity::ALL.len()]);

impl Counts {
    /// How many of one kind.
    pub fn of(&self, entity: Entity) -> u32 {
        self.0[entity as usize]
    }

    /// How many altogether.
    pub fn total(&self) -> u32 {
        self.0.iter().sum()
    }

    /// The kinds that occurred, in their order, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Entity, u32)> + '_ {
        Entity::ALL.into_iter().map(|entity| (entity, self.of(entity))).filter(|(_, count)| *count > 0)
    }

    pub(super) fn add(&mut self, entity: Entity) {
        let count = &mut self.0[entity as usize];
        *count = count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_placeholder_is_longer_than_stated_and_all_differ() {
        let longest = Entity::ALL.iter().map(|entity| entity.placeholder().len()).max();
        assert_eq!(longest, Some(Entity::LONGEST));
        let names: std::collections::BTreeSet<_> = Entity::ALL.iter().map(|entity| entity.name()).collect();
        assert_eq!(names.len(), Entity::ALL.len());
        assert!(Entity::ALL.is_sorted());
    }
}
