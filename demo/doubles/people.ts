/** The people of the doubles. Their numbers are what the story's product has stored them under. */
export interface Person {
  /** Sign-in name: `login` at GitHub, account id at the OpenID provider. */
  readonly login: string
  readonly id: number
  readonly name: string
  readonly email: string
  readonly groups: readonly string[]
}

export const ADA: Person = {
  login: 'ada',
  id: 1001,
  name: 'Ada Lovelace',
  email: 'ada@example.com',
  groups: ['engineering', 'maps'],
}

export const GRACE: Person = {
  login: 'grace',
  id: 1002,
  name: 'Grace Hopper',
  email: 'grace@example.com',
  groups: ['engineering', 'routing'],
}

export const PEOPLE: readonly Person[] = [ADA, GRACE]
