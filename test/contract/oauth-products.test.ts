/** The suite of every provider, for each product with plain OAuth over a double in its dialect (PRV-20). */
import {
  atlassianHouse,
  discordHouse,
  gitLabHouse,
  linearHouse,
  notionHouse,
  oauth2House,
  slackHouse,
} from './product-house.ts'
import { describeProvider } from './provider-suite.ts'

const NAME_AND_EMAIL = { name: 'Ada Lovelace', email: 'ada@example.com', emailVerified: false }

describeProvider({ name: 'Discord', start: () => discordHouse(), subject: '803511102246781001' })
describeProvider({ name: 'GitLab', start: () => gitLabHouse(), subject: '1001' })
describeProvider({
  name: 'Atlassian',
  start: () => atlassianHouse(),
  subject: '112233aa-bb11-cc22-33dd-445566001001',
  pkce: false,
  revokes: false,
})
describeProvider({
  name: 'Linear',
  start: () => linearHouse(),
  subject: 'b2c1d0e0-0000-4000-8000-000000001001',
  profile: { ...NAME_AND_EMAIL, login: 'ada' },
})
describeProvider({
  name: 'Notion',
  start: () => notionHouse(),
  subject: 'e79a0b74-3aba-4149-9f74-0bb579161001',
  profile: NAME_AND_EMAIL,
  pkce: false,
  subjectAtCheck: false,
})
describeProvider({
  name: 'Slack',
  start: () => slackHouse(),
  subject: 'T0001-U1001',
  pkce: false,
})
describeProvider({
  name: 'OAuth 2.0 by introspection',
  start: () => oauth2House({ ask: 'introspection' }),
  subject: 'ada',
  profile: { login: 'ada' },
})
describeProvider({
  name: 'OAuth 2.0 by userinfo',
  start: () => oauth2House({ ask: 'userinfo' }),
  subject: 'ada',
})
