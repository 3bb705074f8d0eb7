import { index, route } from '@react-router/dev/routes';

export default [
  index('routes/home.jsx'),
  route('p/:id', 'routes/product.jsx'),
  route('search', 'routes/search.jsx'),
  route('account', 'routes/account.jsx'),
  route('login', 'routes/login.jsx'),
  route('preview', 'routes/preview.js'),
  route('api/price/:id', 'routes/price.js'),
];
